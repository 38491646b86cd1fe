"""`mainstay try`: everything in one go; a baseline answers within seconds, better versions replace it live."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path

import msgspec

from mainstay.errors import MainstayError
from mainstay.models import package as files
from mainstay.models.package import encoded
from mainstay.operations.background import Running, background
from mainstay.operations.deploying import deploy
from mainstay.operations.home import actor, state_of
from mainstay.operations.initialising import initialise, relative
from mainstay.operations.making import Made, by_search
from mainstay.operations.preparing import Prepared, prepare
from mainstay.operations.publishing import Trained, publish
from mainstay.operations.registries import opened
from mainstay.operations.telling import subscribe
from mainstay.operations.training import ENDING, command_line, settings_of
from mainstay.operations.waiting import first_interrupt_sets, until_interrupted
from mainstay.operations.watching import Watcher
from mainstay.project import FILE, Data, Project, load
from mainstay.registry.locks import train_lock
from mainstay.registry.store import Registry
from mainstay.serving.ports import reserved


def try_out(
    folder: Path,
    source: Data,
    *,
    target: str,
    name: str | None,
    positive: str | None,
    budget: float | None,
    trials: int | None,
    host: str | None,
    port: int | None,
    once: bool,
    watch: Watcher,
    stop: threading.Event | None = None,
) -> Trained:
    """Writes a project file where there is none, then trains, deploys and serves; the last version it made.

    Args:
        once: end with the search in place of serving on until Ctrl-C.
        stop: set it to end the search; a first SIGINT during the search does that too.

    Raises:
        OtherProject: the folder's project is about something else.
        ServerEnded: the server ended, though nobody asked it to.
        As `initialise`, `train`, `deploy` and `serve` do.
    """
    if budget is not None and trials is not None:
        raise MainstayError("--budget and --trials both say when the search ends: give one of them.")
    stop = stop or threading.Event()
    path = folder / FILE
    if path.exists():
        _check_same(load(folder), path, source=relative(source, folder), target=target, name=name, positive=positive)
        watch.note(f"Going on with {path}, as it is.")
    else:
        done = initialise(folder, source, target=target, name=name, positive=positive)
        watch.note(f"Wrote {done.path}: a {done.task} task with {len(done.columns)} inputs.")
        for column, reason in done.left_out.items():
            watch.note(f"- {column} is left out: {reason}")
    serve = load(folder).serve
    host, port = host or serve.host, serve.port if port is None else port
    with reserved(host, port):
        pass  # a port in use is told of now, not after the first model
    root = state_of(folder)
    with opened(folder) as registry, train_lock(root), ExitStack() as running:
        subscribe(folder, registry)
        prepared = prepare(folder, watch=watch)
        attempt = _Attempt(prepared, registry, running, host=host, port=port, watch=watch)
        settings = settings_of(prepared.project.search, budget=budget, trials=trials)
        with first_interrupt_sets(stop, lambda: watch.progress(None, ENDING)):
            made = by_search(prepared, settings, watch=watch, stop=stop, on_improvement=attempt.improved)
            final = attempt.finished(made)
        if not once:
            attempt.serve_on()
        return final


class OtherProject(MainstayError):
    """There is a project in the folder already, and it is about something else."""


def _check_same(
    project: Project, path: Path, *, source: Data, target: str, name: str | None, positive: str | None
) -> None:
    """A project that is there is gone on with only where it says what the command says."""
    said = {
        "target": (project.target, target),
        "data": (_where(project.data), _where(source)),
        "name": (project.name, name or project.name),
        "positive": (str(project.positive), positive or str(project.positive)),
    }
    for what, (there, here) in said.items():
        if there != here:
            raise OtherProject(
                f"{path} is there already, with {what} {there!r}, not {here!r}: "
                "use another folder, or mainstay init --force."
            )
    if project.train is not None:
        raise OtherProject(f"{path} has train = {project.train!r}, so there is no search to try: run mainstay train.")


def _where(data: Data) -> str:
    return data.path or f"{data.url} {data.query}"


class _Attempt:
    """What happens each time the search finds a better model."""

    def __init__(
        self, prepared: Prepared, registry: Registry, running: ExitStack, *, host: str, port: int, watch: Watcher
    ) -> None:
        self.prepared, self.registry, self.running = prepared, registry, running
        self.host, self.port, self.watch = host, port, watch
        self.server: Running | None = None
        self.last: Trained | None = None

    def improved(self, made: Made) -> None:
        """Registers a better model, and deploys it where it passes; the baseline in any case, where nothing is
        deployed yet, so that there is an answer from the first seconds on."""
        if self.server is not None:
            self.server.check()
        trained = publish(self.registry, self.prepared, made, command=command_line(), watch=self.watch, explain=False)
        self.last = trained
        present = self.registry.deployment(self.prepared.project.name)
        if trained.passed or present is None:
            deploy(
                self.prepared.folder,
                trained.version,
                reason="mainstay try: the best so far" if trained.passed else "mainstay try: a baseline, to begin with",
                override=not trained.passed,
            )
        self._serve()
        told = f"{trained.version} ({trained.description}{_headline(trained, made.score)})"
        if trained.passed or present is None:
            self.watch.note(f"{told} answers now.")
        else:
            self.watch.note(f"{told} did not pass its gates; {present.version.ref} goes on answering.")

    def finished(self, made: Made) -> Trained:
        """The last version, with the trials that led to it."""
        assert self.last is not None
        assert made.trials is not None
        version = self.registry.version(self.last.version)
        if files.TRIALS not in self.registry.package(version):
            self.registry.attest(version, files.TRIALS, encoded(made.trials), actor=actor())
        return msgspec.structs.replace(self.last, warnings=[*self.last.warnings, *made.notes])

    def serve_on(self) -> None:
        """Until Ctrl-C."""
        assert self.server is not None
        served = self.registry.deployment(self.prepared.project.name)
        what = "nothing" if served is None else served.version.ref
        self.watch.stage(f"Serving {what} at {self.server.url} until Ctrl-C")
        until_interrupted(self.server.lives)
        self.server.check()

    def _serve(self) -> None:
        if self.server is None:
            self.server = self.running.enter_context(background(self.prepared.folder, host=self.host, port=self.port))
            url = self.server.url
            self.watch.note(f"Serving at {url} (a page for people; {url}/docs, {url}/metrics); log: {self.server.log}")


def _headline(trained: Trained, score: float | None) -> str:
    """What a version is worth: on the validation folds, by which it was chosen, and on the rows held out."""
    name = "roc_auc" if "roc_auc" in trained.metrics else "rmse" if "rmse" in trained.metrics else "accuracy"
    found = trained.metrics.get(name)
    chosen_by = "" if score is None else f", {abs(score):.4g} on validation folds"
    return chosen_by if found is None else f"{chosen_by}, {name} {found['value']:.4g} on held-out rows"

"""A folder with a Python class becomes a version: trusted, locked, and answered from an environment of its own. What is
tested in tests/classes is not tested again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import mainstay
from mainstay.errors import MainstayError
from mainstay.models import archives, classes
from mainstay.models.classes import UntrustedCode
from mainstay.models.formats.foreign.protocol import CannotImport
from mainstay.models.package import Draft
from mainstay.models.requirements import BadRequirements, locked
from mainstay.models.runtime import Model
from mainstay.operations.deploying import deploy
from mainstay.operations.diffing import diff
from mainstay.operations.exporting import export
from mainstay.operations.importing import ImportedVersion, import_file
from mainstay.operations.operator import allowed_here
from mainstay.registry.store import Registry
from mainstay.serving.asking import ClassEnded, ClassFailed, OwnHost
from mainstay.serving.environments import Environments
from mainstay.serving.uv import CannotInstall, resolve
from python_classes import TOML, plain, pricing, trust

pytestmark = pytest.mark.skipif(
    os.environ.get("MAINSTAY_REQUIRE_FORMATS") != "1", reason="a second or two a case: make test-formats"
)

Import = Callable[..., ImportedVersion]
ROWS = [{"rooms": 2, "region": "north"}, {"rooms": 3.5, "region": "south"}]


def package_of(project: Path, ref: str):
    with Registry.open(project / ".mainstay") as registry:
        return registry.package(registry.version(ref))


class TestTrust:
    def test_what_is_trusted_is_the_code_and_its_lock_whatever_they_are_called(
        self, project: Path, imported: Import, tmp_path: Path
    ) -> None:
        folder = pricing(tmp_path / "folder")
        imported(folder)
        assert import_file(project, folder, name="other").version == "other:1"
        (folder / "data" / "factors.json").write_text('{"north": 1.5, "south": 1.01}')
        with pytest.raises(UntrustedCode):
            import_file(project, folder, name="pricing")

    def test_a_version_that_is_trusted_no_longer_is_neither_loaded_nor_deployed_nor_compared(
        self, project: Path, imported: Import, tmp_path: Path
    ) -> None:
        imported(pricing(tmp_path / "folder"))
        (tmp_path / "rows.csv").write_text("rooms,region\n1,north\n")
        trust(project)
        for ask in (
            lambda: mainstay.load("pricing:1", folder=project),
            lambda: deploy(project, "pricing:1", override=True, reason="test"),
            lambda: diff(project, "pricing:1", "pricing:1", tmp_path / "rows.csv", slices=None, rows=1),
        ):
            with pytest.raises(UntrustedCode, match="pricing:1 is Python code"):
                ask()
        export(project, "pricing:1", kind="native", output=tmp_path / "out")  # which runs nothing
        with pytest.raises(UntrustedCode):
            import_file(project, tmp_path / "out", name="again")

    def test_a_package_does_not_trust_itself(self, project: Path, imported: Import, tmp_path: Path) -> None:
        """The files that are trusted by their hash are those that run, whatever stands beside them."""
        imported(pricing(tmp_path / "folder"))
        package = package_of(project, "pricing:1")
        allowed = allowed_here(project)
        content = {name: package.read(name) for name in package.manifest.content}
        evil = archives.archive_of({"pricing/model.py": b"raise SystemExit('evil ran')"})
        with pytest.raises(UntrustedCode):
            OwnHost(Draft({**content, classes.CODE: evil}).package(), allowed)
        spec = json.loads(content["model.json"]) | {"file": "evil.zip"}
        other = Draft({**content, "model.json": json.dumps(spec).encode(), "evil.zip": evil}).package()
        with OwnHost(other, allowed) as host:  # the code that was trusted, and no other
            assert Model(other, host).predict(ROWS) == [300.0, 350.0]


class TestImport:
    def test_a_class_answers_as_it_does_with_the_versions_that_are_locked(
        self, project: Path, imported: Import, tmp_path: Path
    ) -> None:
        done = imported(pricing(tmp_path / "folder", requirements="tariff<2\n"))
        assert (done.source, done.inputs, done.passed) == ("Python class", ["rooms", "region"], False)
        package = package_of(project, "pricing:1")
        names = {found.name: found.version for found in locked(package.read(classes.REQUIREMENTS).decode())}
        assert names["tariff"] == "1.0"
        assert names.keys() == {"tariff", "numpy", "msgspec"}
        assert set(archives.files_in(package.read(classes.CODE))) == {
            "data/factors.json",
            "pricing/__init__.py",
            "pricing/model.py",
            "requirements.txt",
        }
        model = mainstay.load("pricing:1", folder=project)
        assert model.predict(ROWS) == [300.0, 350.0]
        assert len(package.golden.rows) == 32
        assert not {"tariff", "pricing"} & sys.modules.keys()
        with pytest.raises(MainstayError, match="expected one of 'north', 'south'"):
            model.predict([{"rooms": 1, "region": "east"}])
        rows = {"rooms": np.arange(3000.0), "region": ["south"] * 3000}
        assert model.predict(rows) == (np.arange(3000.0) * 100).tolist()

    def test_two_versions_have_each_their_own_libraries(self, project: Path, imported: Import, tmp_path: Path) -> None:
        folder = pricing(tmp_path / "folder")
        imported(folder)
        (folder / "requirements.txt").write_text("tariff==2.0\n")
        imported(folder)
        codes = [classes.code_id(package_of(project, f"pricing:{n}").manifest) for n in (1, 2)]
        trust(project, *codes)
        assert mainstay.load("pricing:1", folder=project).predict(ROWS) == [300.0, 350.0]
        assert mainstay.load("pricing:2", folder=project).predict(ROWS) == [600.0, 700.0]
        (tmp_path / "rows.csv").write_text("rooms,region,price\n1,north,150\n2,south,200\n")
        found = diff(project, "pricing:1", "pricing:2", tmp_path / "rows.csv", slices=None, rows=5)
        assert (found.rows, found.changed) == (2, 2)

    def test_a_lock_is_kept_in_the_folder_until_the_requirements_change(
        self, project: Path, imported: Import, tmp_path: Path
    ) -> None:
        folder = pricing(tmp_path / "folder", requirements="tariff\n")
        imported(folder)
        lock = (folder / "requirements.lock").read_text()
        assert "tariff==2.0" in lock
        (folder / "requirements.lock").write_text(lock + "# read by the operator\n")
        with pytest.raises(UntrustedCode):
            import_file(project, folder, name="pricing")
        assert (folder / "requirements.lock").read_text().endswith("# read by the operator\n")
        (folder / "requirements.txt").write_text("tariff<2\n")
        with pytest.raises(UntrustedCode):
            import_file(project, folder, name="pricing")
        assert "tariff==1.0" in (folder / "requirements.lock").read_text()

    def test_a_list_that_is_locked_already_is_taken_as_it_is(
        self, project: Path, imported: Import, tmp_path: Path
    ) -> None:
        lock = resolve("tariff==1.0\nnumpy\nmsgspec\n", python=".".join(map(str, sys.version_info[:2])))
        folder = pricing(tmp_path / "folder", requirements=lock)
        imported(folder)
        assert package_of(project, "pricing:1").read(classes.REQUIREMENTS).decode() == lock
        assert not (folder / "requirements.lock").exists()

    def test_it_is_evaluated_held_against_gates_and_compared(
        self, project: Path, imported: Import, tmp_path: Path
    ) -> None:
        rows = "".join(f"{n % 11 + 1},{'north' if n % 2 else 'south'},{(n % 11 + 1) * 100}\n" for n in range(300))
        (tmp_path / "rows.csv").write_text("rooms,region,price\n" + rows)
        done = imported(pricing(tmp_path / "folder"), data=tmp_path / "rows.csv", gates=["rmse <= 500"])
        assert done.passed
        assert done.metrics["rmse"]["value"] == pytest.approx(238.9, abs=1.0)
        assert deploy(project, "pricing:1").version == "pricing:1"

    def test_a_package_that_was_written_out_comes_in_as_the_same_content(
        self, project: Path, imported: Import, tmp_path: Path
    ) -> None:
        done = imported(pricing(tmp_path / "folder"))
        export(project, "pricing:1", kind="native", output=tmp_path / "out")
        assert import_file(project, tmp_path / "out", name="again").content_id == done.content_id

    @pytest.mark.parametrize("kind", ["onnx", "pmml"])
    def test_other_programs_do_not_get_it(self, project: Path, imported: Import, tmp_path: Path, kind: str) -> None:
        imported(pricing(tmp_path / "folder"))
        with pytest.raises(MainstayError):
            export(project, "pricing:1", kind=kind, output=tmp_path / "out")

    def test_from_python_a_folder_is_registered_by_its_path(self, project: Path, tmp_path: Path) -> None:
        folder = pricing(tmp_path / "folder")
        with pytest.raises(UntrustedCode) as refused:
            mainstay.register(folder, name="pricing", folder=project)
        trust(project, refused.value.code)
        assert mainstay.register(folder, name="pricing", folder=project).ref == "pricing:1"

    def test_tensors_and_several_outputs(self, project: Path, imported: Import, tmp_path: Path) -> None:
        code = (
            "class Model:\n"
            "    def __init__(self, folder): pass\n"
            "    def predict(self, rows):\n"
            "        image = rows['image']\n"
            "        image += 1\n"
            "        return {'mean': image.mean(axis=(1, 2)), 'words': [[f'{len(i)}', 'é'] for i in image]}\n"
        )
        toml = (
            'class = "model:Model"\n[signature]\ntask = "general"\n'
            '[[signature.tensors]]\nname = "image"\ndtype = "float32"\nshape = ["height", 2]\n'
            '[[signature.outputs]]\nname = "mean"\ndtype = "float32"\n'
            '[[signature.outputs]]\nname = "words"\ndtype = "text"\nshape = [2]\n'
        )
        imported(plain(tmp_path / "folder", code, toml), "image")
        model = mainstay.load("image:1", folder=project)
        assert model.predict(np.zeros((2, 3, 2))) == [{"mean": 1.0, "words": ["3", "é"]}] * 2


class TestFaults:
    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ("return [0.5] * len(rows['x'])", "none of the labels: 'bad', 'good'"),
            ("return [[0.5, 0.6]] * len(rows['x'])", "add up to 1 over the labels"),
            ("return ['good'] * (len(rows['x']) + 1)", r"shape \(33,\) for 32 rows"),
            ("return None", "gave NoneType where `predict` gives an array or a list"),
            ("return [[float('nan'), 1.0]] * len(rows['x'])", "NaN or infinity for row 0"),
            ("raise RuntimeError('no ' + 'idea')", "RuntimeError at .*model.py:4: no idea.*Asked for"),
            ("import sys; sys.exit(3)", "SystemExit"),
            ("return [['bad'], ['good', 'good']]", "rows differ in size"),
            ("n = len(rows['x']); return [[1 / n, 1 - 1 / n]] * n", "when other rows stand beside it"),
            ("import random; p = random.random(); return [[p, 1 - p]] * len(rows['x'])", "the same each time"),
        ],
    )
    def test_what_is_no_answer_is_said_in_a_sentence(
        self, project: Path, imported: Import, tmp_path: Path, body: str, said: str
    ) -> None:
        code = f"class Model:\n    def __init__(self, folder): pass\n    def predict(self, rows):\n        {body}\n"
        with pytest.raises(CannotImport, match=said):
            imported(plain(tmp_path / "folder", code), "model")
        assert not (project / ".mainstay" / "registry.db").exists()

    @pytest.mark.parametrize(
        ("code", "said"),
        [
            ("import nothing_like_it", "imports 'nothing_like_it', which is neither among its files nor its requirem"),
            ("Model = 3", "could not be loaded"),
            ("class Modell: pass", "has no 'Model'"),
            ("class Model:\n    def __init__(self, folder): pass", "no method `predict`"),
            ("class Model:\n    def __init__(self, folder): open(folder / 'gone')", "FileNotFoundError"),
            ("import os; os._exit(7)", r"ended before it was ready \(exit code 7\)"),
            ("def broken(:", "SyntaxError"),
        ],
    )
    def test_a_class_that_cannot_be_made_is_told(
        self, project: Path, imported: Import, tmp_path: Path, code: str, said: str
    ) -> None:
        with pytest.raises((ClassFailed, ClassEnded), match=said):
            imported(plain(tmp_path / "folder", code), "model")

    @pytest.mark.parametrize(
        ("toml", "said"),
        [
            ("", "class"),
            ("class = [", "no TOML"),
            (TOML.replace("signature", "signatur"), "unknown field `signatur`"),
            (TOML.replace("minimum", "minumum"), "unknown field `minumum`"),
            (TOML.split("[signature]")[0], "missing required field `signature`"),
            (TOML.replace('"category"', '"number"'), "`categories`"),
            (TOML.replace("regression", "binary"), "two labels"),
            (TOML.replace("pricing.model:Pricing", "pricing/model.py"), "names no class"),
            (TOML.replace("pricing.model:Pricing", "mainstay.x:Y"), "Mainstay's own"),
            ('python = "2.7"\n' + TOML, "no Python that a class can run in"),
            ('requirements = "../x"\n' + TOML, "no file of the folder"),
            ('requirements = "needs.txt"\n' + TOML, "no file 'needs.txt'"),
        ],
    )
    def test_a_description_that_cannot_be_meant_is_refused(
        self, project: Path, tmp_path: Path, toml: str, said: str
    ) -> None:
        folder = pricing(tmp_path / "folder")
        (folder / "mainstay-model.toml").write_text(toml)
        with pytest.raises(MainstayError, match=said):
            import_file(project, folder, name="pricing")

    @pytest.mark.parametrize(
        ("requirements", "kind", "said"),
        [
            ("tariff==3.0\n", CannotInstall, "no version of tariff==3.0"),
            ("-r other.txt\n", BadRequirements, "is an option"),
            ("--no-binary tariff\n", BadRequirements, "is an option"),
            ("tariff==1.0 --hash=sha256:" + "0" * 64 + "\n", BadRequirements, "do not hold 'msgspec'"),
        ],
    )
    def test_requirements_that_cannot_be_locked_are_refused(
        self, project: Path, tmp_path: Path, requirements: str, kind: type[MainstayError], said: str
    ) -> None:
        with pytest.raises(kind, match=said):
            import_file(project, pricing(tmp_path / "folder", requirements=requirements), name="pricing")

    def test_options_that_say_what_the_folder_says_are_refused(self, project: Path, tmp_path: Path) -> None:
        with pytest.raises(CannotImport, match="leave the options out"):
            import_file(project, pricing(tmp_path / "folder"), name="pricing", columns=["a"])

    def test_a_file_that_is_not_the_one_that_was_locked_is_not_installed(
        self, project: Path, imported: Import, tmp_path: Path
    ) -> None:
        python = ".".join(map(str, sys.version_info[:2]))
        lock = resolve("tariff==1.0\nnumpy\nmsgspec\n", python=python).splitlines()
        start = next(at for at, line in enumerate(lock) if line.startswith("tariff"))
        lock[start + 1] = "    --hash=sha256:" + "0" * 64
        folder = pricing(tmp_path / "folder", requirements="\n".join(lock) + "\n")
        with pytest.raises(ClassFailed, match=r"Hash mismatch for `tariff==1\.0`"):
            imported(folder)


class TestProcess:
    def test_it_sees_no_variable_of_ours_but_those_it_is_let_see(
        self, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        code = (
            "import os, pathlib, sys\n"
            "class Model:\n"
            "    def __init__(self, folder):\n"
            "        assert 'DB_PASSWORD' not in os.environ and 'AWS_SECRET_ACCESS_KEY' not in os.environ\n"
            "        assert os.environ['REGION'] == 'north' and os.environ['LC_TIME'] == 'C'\n"
            "        assert pathlib.Path.home() in folder.parents\n"
            "        assert not any('site-packages' in p and sys.prefix not in p for p in sys.path), sys.path\n"
            "        assert str(pathlib.Path.cwd()) not in sys.path and '' not in sys.path\n"
            "        import mainstay\n"
            "        for name in ('pandas', 'sqlalchemy', 'onnxruntime'):\n"
            "            try: __import__(name)\n"
            "            except ModuleNotFoundError: pass\n"
            "            else: raise AssertionError(name)\n"
            "    def predict(self, rows):\n"
            "        print('to be seen by nobody')\n"
            "        return ['good'] * len(rows['x'])\n"
        )
        for name in ("DB_PASSWORD", "AWS_SECRET_ACCESS_KEY", "PYTHONPATH"):
            monkeypatch.setenv(name, "secret")
        monkeypatch.setenv("REGION", "north")
        monkeypatch.setenv("LC_TIME", "C")
        folder = plain(tmp_path / "folder", code)
        with pytest.raises(UntrustedCode) as refused:
            import_file(project, folder, name="model")
        trust(project, refused.value.code, host_variables=["REGION"])
        import_file(project, folder, name="model")

    def test_what_it_writes_is_gone_with_it_and_its_files_are_new_each_time(
        self, project: Path, imported: Import, tmp_path: Path
    ) -> None:
        code = (
            "class Model:\n"
            "    def __init__(self, folder):\n"
            "        assert not (folder / 'mark').exists()\n"
            "        (folder / 'mark').write_text('x')\n"
            "    def predict(self, rows): return ['good'] * len(rows['x'])\n"
        )
        imported(plain(tmp_path / "folder", code), "model")
        assert mainstay.load("model:1", folder=project).predict([{"x": 0}]) == ["good"]
        assert not list(tmp_path.rglob("mark"))

    def test_a_crash_is_told_and_the_process_of_the_asker_lives_on(
        self, project: Path, imported: Import, tmp_path: Path
    ) -> None:
        code = (
            "import os\n"
            "class Model:\n"
            "    def __init__(self, folder): pass\n"
            "    def predict(self, rows):\n"
            "        if (rows['x'] > 5).any(): os._exit(9)\n"
            "        return ['good'] * len(rows['x'])\n"
        )
        imported(plain(tmp_path / "folder", code), "model")
        model = mainstay.load("model:1", folder=project)
        with pytest.raises(ClassEnded, match=r"model:Model ended while it was answering"):
            model.predict([{"x": 9}])
        with pytest.raises(ClassEnded):
            model.predict([{"x": 0}])
        assert mainstay.load("model:1", folder=project).predict([{"x": 0}]) == ["good"]

    def test_no_process_is_left_when_its_asker_is_gone(self, project: Path, imported: Import, tmp_path: Path) -> None:
        imported(pricing(tmp_path / "folder"))
        script = (
            "import mainstay, os, sys\n"
            f"model = mainstay.load('pricing:1', folder={str(project)!r})\n"
            "print(model._runner._process.pid, flush=True)\n"
            "os.kill(os.getpid(), 9)\n"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        host = int(done.stdout)

        def gone() -> bool:
            try:
                os.kill(host, 0)
            except ProcessLookupError:
                return True
            return Path(f"/proc/{host}/stat").read_text().split()[2] == "Z"

        for _ in range(200):
            if gone():
                return
            threading.Event().wait(0.05)
        pytest.fail("the host process outlived its asker")


class TestEnvironments:
    def test_several_builders_make_one_and_a_broken_one_is_made_anew(
        self, project: Path, imported: Import, tmp_path: Path
    ) -> None:
        imported(pricing(tmp_path / "folder"))
        package = package_of(project, "pricing:1")
        root = tmp_path / "environments"
        found: list[Path] = []
        told: list[str] = []
        threads = [
            threading.Thread(target=lambda: found.append(Environments(root).of(package, told.append))) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 3
        assert len(set(found)) == 1
        environment = found[0].parents[1]
        assert {path.name for path in root.iterdir()} == {environment.name, f"{environment.name}.lock"}
        assert told
        assert "3 packages" in told[0]
        # Its Python is gone, as after an upgrade; and somebody was killed in the middle of building it.
        (root / f".{environment.name}-left" / "env").mkdir(parents=True)
        found[0].unlink()
        found[0].symlink_to(tmp_path / "nowhere")
        assert Environments(root).of(package) == found[0]
        assert subprocess.run([found[0], "-c", "import tariff"], check=False).returncode == 0
        assert {path.name for path in root.iterdir()} == {environment.name, f"{environment.name}.lock"}

    def test_one_that_cannot_be_built_leaves_nothing(
        self, project: Path, imported: Import, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        imported(pricing(tmp_path / "folder"))
        package = package_of(project, "pricing:1")
        monkeypatch.setenv("UV_FIND_LINKS", str(tmp_path))
        monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
        root = tmp_path / "environments"
        with pytest.raises(CannotInstall, match="The locked requirements cannot be installed"):
            Environments(root).of(package)
        assert not [path for path in root.iterdir() if path.suffix != ".lock"]

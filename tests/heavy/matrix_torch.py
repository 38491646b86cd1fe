"""The lines of the matrix for PyTorch, on tables and pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from libraries import need
from matrix import TASKS, Case, Made
from matrix_tables import digits, numbers

from mainstay.models.formats.objects import Given

CLASSES = {"binary": (0, 1), "multiclass": (0, 1, 2), "regression": ()}


def cases() -> Iterator[Case]:
    """Every line."""
    for task in TASKS:
        yield Case("PyTorch", "module", task, _torch(task))
    yield Case("PyTorch", "convolutions, pictures", "multiclass", _torch_pictures)
    yield Case("PyTorch", "two outputs as they are", "general", _torch_general)


def _table(task: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    X, X_test, y, _ = numbers(task)
    middle, scale = X.mean(axis=0), X.std(axis=0)
    return ((X - middle) / scale).astype(np.float32), ((X_test - middle) / scale).astype(np.float32), y


def _torch(task: str):
    def make(folder: Path) -> Made:
        del folder
        torch = need("torch")
        X, X_test, y = _table(task)
        torch.manual_seed(0)
        wide = 1 if task == "regression" else len(CLASSES[task])
        model = torch.nn.Sequential(torch.nn.Linear(X.shape[1], 16), torch.nn.ReLU(), torch.nn.Linear(16, wide))
        _trained(torch, model, X, y, torch.nn.functional.mse_loss if wide == 1 else torch.nn.functional.cross_entropy)
        logits = task != "regression"
        given = Given(X=X, X_test=X_test, labels=CLASSES[task], logits=logits)
        return Made(model, given, X_test, _torch_answers(torch, model, logits), torch.from_numpy(X_test))

    return make


def _trained(torch: Any, model: Any, X: np.ndarray, y: np.ndarray, loss: Any) -> None:
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    inputs = torch.from_numpy(X)
    wanted = torch.from_numpy(y.astype(np.float32))[:, None] if loss.__name__ == "mse_loss" else torch.from_numpy(y)
    for _ in range(20):
        optimizer.zero_grad()
        loss(model(inputs), wanted).backward()
        optimizer.step()
    model.eval()


def _torch_answers(torch: Any, model: Any, logits: bool):
    def native(rows: Any) -> np.ndarray:
        with torch.no_grad():
            found = model(rows)
            return (torch.softmax(found, 1) if logits else found[:, 0]).numpy()

    return native


def _torch_pictures(folder: Path) -> Made:
    del folder
    torch = need("torch")
    X, X_test, y, _ = (part[:, None] if part.ndim == 3 else part for part in digits())
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(72, 10)
    )
    _trained(torch, model, X, y, torch.nn.functional.cross_entropy)
    given = Given(X=X, X_test=X_test, labels=tuple(range(10)), logits=True)
    return Made(model, given, X_test, _torch_answers(torch, model, True), torch.from_numpy(X_test))


def _torch_general(folder: Path) -> Made:
    del folder
    torch = need("torch")
    X, X_test, _, _ = digits()

    class Two(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = torch.nn.Linear(8, 4)

        def forward(self, pixels: Any) -> dict[str, Any]:
            found = self.inner(pixels)
            return {"rows": found, "whole": found.mean(dim=(1, 2))}

    torch.manual_seed(0)
    model = Two().eval()

    def native(rows: Any) -> dict[str, np.ndarray]:
        with torch.no_grad():
            return {name: array.numpy() for name, array in model(rows).items()}

    return Made(model, Given(X=X, X_test=X_test, general=True), X_test, native, torch.from_numpy(X_test))

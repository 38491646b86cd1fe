"""Writes the model as an MLflow folder: python mlflow_folder.py FOLDER."""

import json
import sys
from pathlib import Path

import mlflow
import pandas as pd
from learned import Learned

folder = Path(sys.argv[1])
learned = Learned(folder)
example = pd.DataFrame([json.loads((folder / "row.json").read_text())])


class Shares(mlflow.pyfunc.PythonModel):
    """`predict_proba` in place of labels alone."""

    def predict(self, context, model_input, params=None):
        return learned.model.predict_proba(model_input)


mlflow.sklearn.save_model(
    learned.model,
    folder / "mlflow",
    pyfunc_predict_fn="predict_proba",
    signature=mlflow.models.infer_signature(example, learned.model.predict_proba(example)),
    skops_trusted_types=None,
    serialization_format="cloudpickle",
)

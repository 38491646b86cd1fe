"""Flask, under gunicorn."""

from flask import Flask, jsonify, request
from learned import Learned

learned = Learned()
app = Flask(__name__)


@app.post("/")
def predict():
    return jsonify(learned(request.get_json()))

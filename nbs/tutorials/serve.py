"Serves what `intrr export RUN --out shop.onnx` wrote: MODEL=shop.onnx uvicorn serve:app"

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from fastapi import FastAPI, HTTPException, Request, Response
from prometheus_client import Gauge, Histogram, generate_latest
from pydantic import BaseModel, Field

app = FastAPI(title="Recommendations")
SECONDS = Histogram("recommend_seconds", "Seconds per request for recommendations", ["status"])
LOADED = Gauge("model_loaded_seconds", "Unix time at which the model was loaded")


class Model:
    "An exported file, and the ids and titles beside it"

    def __init__(self, path: Path):
        self.session = onnxruntime.InferenceSession(path)
        self.about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        self.items, self.rows = self.about["items"], {str(id): row for row, id in enumerate(self.about["items"])}
        LOADED.set_to_current_time()

    def recommend(self, history: list[str], masked: bool) -> list[dict[str, Any]]:
        "The best items, best first"
        rows = np.array([[self.rows[id] for id in history]])
        scores, best = self.session.run(None, {"histories": rows, "masked": np.array(masked)})
        found = [
            (row, score) for row, score in zip(best[0].tolist(), scores[0].tolist(), strict=True) if np.isfinite(score)
        ]
        return [{"id": self.items[r], "title": self.about["titles"][r], "score": s} for r, s in found]


class Query(BaseModel):
    history: list[str | int] = Field(min_length=1, description="Item ids, oldest first")
    k: int = Field(10, ge=1)
    masked: bool = Field(True, description="Leave the items of the history out")


path = Path(os.environ["MODEL"])
model = Model(path)


@app.middleware("http")
async def measure(request: Request, call_next):
    start = time.perf_counter()
    response = await call_next(request)
    if request.url.path == "/recommend":
        SECONDS.labels(response.status_code).observe(time.perf_counter() - start)
    return response


@app.post("/recommend")
def recommend(query: Query):
    now, history = model, [str(id) for id in query.history]  # a reload meanwhile does not matter
    if unknown := [id for id in history if id not in now.rows]:
        raise HTTPException(422, f"history: no items {', '.join(unknown[:5])}")
    if query.k > now.about["k"]:
        raise HTTPException(422, f"k = {query.k}: the model gives at most {now.about['k']} items")
    return {"items": now.recommend(history, query.masked)[: query.k]}


@app.post("/reload")
def reload():
    global model
    try:
        model = Model(path)  # requests use the old model until the new one is loaded
    except Exception as e:
        raise HTTPException(409, f"{path}: not loaded, the previous model keeps serving ({e})") from e
    return health()


@app.get("/health")
def health():
    return {"status": "ok", "items": len(model.items), "k": model.about["k"], "max_len": model.about["max_len"]}


@app.get("/metrics")
def metrics():
    return Response(generate_latest(), media_type="text/plain; version=0.0.4")

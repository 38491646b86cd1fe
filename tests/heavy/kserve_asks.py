"""KServe's clients, run as a process of their own: their messages and Triton's cannot stand in one.

python kserve_asks.py REST_URL GRPC_ADDRESS     one JSON object on standard output
"""

import asyncio
import json
import sys

import kserve
import numpy as np

TYPES = {"age": "FP64", "amount": "FP64", "purpose": "BYTES", "owner": "BOOL", "since": "BYTES"}
NUMPY = {"FP64": np.float64, "BOOL": np.bool_, "BYTES": np.object_}
ROWS = 3


def request(row, *, binary, **parameters):
    made = []
    for name, kind in TYPES.items():
        each = kserve.InferInput(name=name, shape=[ROWS], datatype=kind)
        each.set_data_from_numpy(np.array([row[name]] * ROWS, dtype=NUMPY[kind]), binary_data=binary)
        made.append(each)
    return kserve.InferRequest(model_name="loan", infer_inputs=made, request_id="k-1", parameters=parameters)


def told(reply):
    found = {output.name: output.as_numpy().tolist() for output in reply.outputs}
    return {"id": reply.id, "probabilities": found["probabilities"]}


async def rest(url, row, *, binary):
    client = kserve.InferenceRESTClient(kserve.inference_client.RESTConfig(protocol="v2"))
    ready = [
        await client.is_server_live(url),
        await client.is_server_ready(url),
        await client.is_model_ready(url, "loan"),
        await client.is_model_ready(url, "none"),
    ]
    asked = request(row, binary=binary, binary_data_output=binary)
    reply = await client.infer(url, asked, model_name="loan")
    await client.close()
    return {"ready": ready, **told(reply)}


async def grpc(address, row, *, binary):
    client = kserve.InferenceGRPCClient(address)
    ready = [
        await client.is_server_live(),
        await client.is_server_ready(),
        await client.is_model_ready("loan"),
        await client.is_model_ready("none"),
    ]
    reply = await client.infer(request(row, binary=binary))
    await client.close()
    return {"ready": ready, **told(reply)}


async def main():
    _, url, address = sys.argv
    row = json.load(sys.stdin)
    found = {
        f"{name} {'raw' if binary else 'typed'}": await ask(at, row, binary=binary)
        for name, ask, at in (("rest", rest, url), ("grpc", grpc, address))
        for binary in (True, False)
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())

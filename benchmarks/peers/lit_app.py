"""LitServe: one LitAPI, one worker."""

import sys

import litserve
from learned import Learned


class Served(litserve.LitAPI):
    def setup(self, device):
        self.learned = Learned()

    def decode_request(self, request):
        return request

    def predict(self, row):
        return self.learned(row)

    def encode_response(self, output):
        return output


if __name__ == "__main__":
    server = litserve.LitServer(Served(), accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False, log_level="error"
    )

"""mosec: one worker behind its Rust front."""

from learned import Learned
from mosec import Server, Worker


class Served(Worker):
    def __init__(self):
        super().__init__()
        self.learned = Learned()

    def forward(self, data):
        return self.learned(data)


if __name__ == "__main__":
    server = Server()
    server.append_worker(Served, num=1)
    server.run()

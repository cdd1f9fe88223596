"""A webhook on this machine, whose address has a secret in it."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = "T0K3N"


@contextmanager
def webhook(status=200, delay=None):
    """A server that keeps what it is sent, answers with this status, and waits for an event before."""
    received = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append((self.path, dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            if delay is not None:
                delay.wait(10)
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.end_headers()

        def do_GET(self):
            received.append((self.path, {}, b""))

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hooks/{SECRET}", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

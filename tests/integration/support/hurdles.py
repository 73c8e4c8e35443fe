"""An HTTP relay before `tally-producer serve` that keeps a client's request from going well."""

import http.client
import http.server
import socket
import threading
import time


class Hurdles:
    """plan: what becomes of the next requests, one entry each: a status (the daemon never sees the request; it is answered with
    that and `Retry-After`) or "cut" (the daemon takes it, its answer never comes back). Past the plan all goes through."""

    RETRY_AFTER_S = {503: 2, 429: 1}

    def __init__(self, port, plan=()):
        self.target = port
        self.plan = list(plan)
        self.met = []  # (what became of it, body, when it arrived, when it was to be answered)
        self.lock = threading.Lock()
        hurdles = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):  # pylint: disable=invalid-name
                hurdles.post(self)

            def log_message(self, *_):  # pylint: disable=arguments-differ
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def post(self, request):
        arrived = time.monotonic()
        body = request.rfile.read(int(request.headers["Content-Length"]))
        with self.lock:
            fate = self.plan.pop(0) if self.plan else "pass"
        refused = fate in self.RETRY_AFTER_S
        answer = (fate, {"Retry-After": str(self.RETRY_AFTER_S[fate])}, b"{}") if refused else self._forward(request, body)
        with self.lock:  # before the client, which may end then, hears of it
            self.met.append((fate, body, arrived, time.monotonic()))
        if fate == "cut":
            request.close_connection = True
            request.connection.shutdown(socket.SHUT_RDWR)
        else:
            self._answer(request, *answer)

    def _forward(self, request, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.target, timeout=60)
        kept = {name: value for name, value in request.headers.items()
                if name.lower() in ("content-type", "authorization")}
        connection.request("POST", request.path, body, kept)
        answer = connection.getresponse()
        said = answer.read()
        connection.close()
        return answer.status, {"Content-Type": answer.headers.get("Content-Type", "")}, said

    @staticmethod
    def _answer(request, status, headers, said):
        request.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(said))}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(said)

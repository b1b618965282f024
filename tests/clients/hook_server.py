"""A hook: python hook_server.py; its port is the first line that it writes, then each question."""
import http.server
import json
import sys


class Hook(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        question = json.loads(self.rfile.read(int(self.headers["content-length"])))
        answer = json.dumps(decide(question)).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments):
        pass


def decide(question):
    password = question.pop("password", None)
    print(json.dumps(question, sort_keys=True), flush=True)
    user = question["user"]
    match question["action"]:
        case "connect" if user == "granted":
            acl = {"publish": ["down/%c"], "subscribe": []}
            return {"allow": password == "secret", "acl": acl}
        case "connect":
            return {"allow": user == "asked" and password == "secret"}
        case "publish":
            return {"allow": question["topic"].startswith("up/")}
        case "subscribe":
            return {"allow": question["filter"].startswith("down/")}
        case other:
            sys.exit("an action that it does not know: %s" % other)


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
print(server.server_address[1], flush=True)
server.serve_forever()

"""The Greeter server on grpcio's threads, stubs made at run time from proto/greet.proto.
Usage: python server.py HOST:PORT"""

import sys
from concurrent import futures
from pathlib import Path

import grpc

sys.path.append(str(Path(__file__).resolve().parents[3] / "proto"))
messages, services = grpc.protos_and_services("greet.proto")


class Greeter(services.GreeterServicer):
    def SayHello(self, request, context):
        return messages.HelloReply(message="Hello " + request.name)


if len(sys.argv) != 2:
    sys.exit("usage: python server.py HOST:PORT")
address = sys.argv[1]
server = grpc.server(futures.ThreadPoolExecutor())
services.add_GreeterServicer_to_server(Greeter(), server)
try:
    port = server.add_insecure_port(address)
except RuntimeError as error:
    sys.exit(str(error))
server.start()
print(f"listening on http://{address.rpartition(':')[0]}:{port}", flush=True)
server.wait_for_termination()

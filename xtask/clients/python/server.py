"""The Greeter server on grpcio, stubs generated at run time from proto/greet.proto.
Usage: python server.py [HOST:PORT]"""

import sys
from concurrent import futures
from pathlib import Path

import grpc

sys.path.append(str(Path(__file__).resolve().parents[3] / "proto"))
messages, services = grpc.protos_and_services("greet.proto")


class Greeter(services.GreeterServicer):
    def SayHello(self, request, context):
        return messages.HelloReply(message="Hello " + request.name)


address = sys.argv[1] if len(sys.argv) > 1 else "0.0.0.0:50051"
server = grpc.server(futures.ThreadPoolExecutor())
services.add_GreeterServicer_to_server(Greeter(), server)
try:
    port = server.add_insecure_port(address)
except RuntimeError as error:
    sys.exit(str(error))
server.start()
print(f"listening on {address.rpartition(':')[0]}:{port}", flush=True)
server.wait_for_termination()

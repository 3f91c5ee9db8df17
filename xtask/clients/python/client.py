"""The Greeter client on grpcio, stubs generated at run time: one SayHello per name, in turn. With CA (and
CERT and KEY) in the environment: over TLS (and mTLS). AUTHORITY replaces the name of the server (:authority)."""

import os
import sys
from pathlib import Path

import grpc

sys.path.append(str(Path(__file__).resolve().parents[3] / "proto"))
messages, services = grpc.protos_and_services("greet.proto")

if len(sys.argv) < 2:
    sys.exit("usage: python client.py HOST:PORT NAME...")
target, *names = sys.argv[1:]


def file(name):
    return Path(os.environ[name]).read_bytes() if name in os.environ else None


options = []
if "AUTHORITY" in os.environ:
    options.append(("grpc.default_authority", os.environ["AUTHORITY"]))
if "CA" in os.environ:
    credentials = grpc.ssl_channel_credentials(file("CA"), file("KEY"), file("CERT"))
    channel = grpc.secure_channel(target, credentials, options)
else:
    channel = grpc.insecure_channel(target, options)
with channel:
    greeter = services.GreeterStub(channel)
    try:
        for name in names:
            print(greeter.SayHello(messages.HelloRequest(name=name), timeout=5).message)
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")

"""Calls SayHello for SECONDS, each time on a new TLS connection; CA is the trusted certificate."""

import os
import sys
import time
from pathlib import Path

import grpc

sys.path.append(str(Path(__file__).resolve().parents[3] / "proto"))
messages, services = grpc.protos_and_services("greet.proto")

if len(sys.argv) < 3:
    sys.exit("usage: CA=ca.pem python reconnect.py HOST:PORT SECONDS")

credentials = grpc.ssl_channel_credentials(Path(os.environ["CA"]).read_bytes())
own_connection = [("grpc.use_local_subchannel_pool", 1)]
calls = failures = 0
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    with grpc.secure_channel(sys.argv[1], credentials, own_connection) as channel:
        calls += 1
        try:
            services.GreeterStub(channel).SayHello(messages.HelloRequest(name="Ada"), timeout=5)
        except grpc.RpcError as error:
            failures += 1
            print(f"{error.code().name}: {error.details()}", file=sys.stderr)
print(f"{calls} connections, {failures} failed")

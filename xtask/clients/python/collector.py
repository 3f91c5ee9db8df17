"""An OTLP collector on grpcio that prints each span as a line of JSON.
Usage: python collector.py [HOST:PORT]"""

import json
import sys
from concurrent import futures

import grpc
from opentelemetry.proto.collector.trace.v1 import (
    trace_service_pb2 as messages,
    trace_service_pb2_grpc as services,
)


def attributes(pairs):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


class Collector(services.TraceServiceServicer):
    def Export(self, request, context):
        for resource_spans in request.resource_spans:
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    line = {
                        "name": span.name,
                        "trace_id": span.trace_id.hex(),
                        "parent_id": span.parent_span_id.hex(),
                        "resource": attributes(resource_spans.resource.attributes),
                        "attributes": attributes(span.attributes),
                    }
                    print(json.dumps(line), flush=True)
        return messages.ExportTraceServiceResponse()


address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:4317"
server = grpc.server(futures.ThreadPoolExecutor())
services.add_TraceServiceServicer_to_server(Collector(), server)
try:
    port = server.add_insecure_port(address)
except RuntimeError as error:
    sys.exit(str(error))
server.start()
print(f"listening on {address.rpartition(':')[0]}:{port}", flush=True)
server.wait_for_termination()

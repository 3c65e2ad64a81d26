"""Looks at listeners with sslyze: prints a line per finding against the policy, and nothing where all is well.

The policy: TLS 1.2 and 1.3 only, forward secrecy with AEAD only, no renegotiation by the client, no compression. Names a
listener as `name=host:port` or, where the protocol begins in the clear, `name=host:port,postgres`.
"""

import sys

from sslyze import (
    ProtocolWithOpportunisticTlsEnum,
    ScanCommand,
    Scanner,
    ServerNetworkConfiguration,
    ServerNetworkLocation,
    ServerScanRequest,
)

OLD = ("ssl_2_0_cipher_suites", "ssl_3_0_cipher_suites", "tls_1_0_cipher_suites", "tls_1_1_cipher_suites")
COMMANDS = {
    ScanCommand.SSL_2_0_CIPHER_SUITES,
    ScanCommand.SSL_3_0_CIPHER_SUITES,
    ScanCommand.TLS_1_0_CIPHER_SUITES,
    ScanCommand.TLS_1_1_CIPHER_SUITES,
    ScanCommand.TLS_1_2_CIPHER_SUITES,
    ScanCommand.TLS_1_3_CIPHER_SUITES,
    ScanCommand.TLS_COMPRESSION,
    ScanCommand.HEARTBLEED,
    ScanCommand.OPENSSL_CCS_INJECTION,
}


def request(listener: str) -> tuple[str, ServerScanRequest]:
    name, _, where = listener.partition("=")
    address, _, protocol = where.partition(",")
    host, _, port = address.rpartition(":")
    opportunistic = ProtocolWithOpportunisticTlsEnum.POSTGRES if protocol == "postgres" else None
    return name, ServerScanRequest(
        server_location=ServerNetworkLocation(hostname="localhost", port=int(port), ip_address=host),
        network_configuration=ServerNetworkConfiguration(
            tls_server_name_indication="localhost", tls_opportunistic_encryption=opportunistic
        ),
        scan_commands=COMMANDS,
    )


def good(suite: str) -> bool:
    aead = "GCM" in suite or "CHACHA20" in suite or "CCM" in suite
    return aead and (suite.startswith("TLS_ECDHE_") or suite.startswith(("TLS_AES_", "TLS_CHACHA20_")))


def main() -> None:
    named = dict(request(listener) for listener in sys.argv[1:])
    scanner = Scanner(per_server_concurrent_connections_limit=2, concurrent_server_scans_limit=2)
    scanner.queue_scans(list(named.values()))
    names = {(r.server_location.ip_address, r.server_location.port): name for name, r in named.items()}
    findings, looked_at = [], 0
    for result in scanner.get_results():
        name = names[(result.server_location.ip_address, result.server_location.port)]
        if result.scan_result is None:
            findings.append(f"{name}: not reached: {result.connectivity_error_trace}")
            continue
        looked_at += 1
        scan = result.scan_result
        for attempt in OLD:
            suites = getattr(scan, attempt).result
            if suites is None or suites.accepted_cipher_suites:
                findings.append(f"{name}: {attempt} accepted, or not answered")
        modern = 0
        for attempt in ("tls_1_2_cipher_suites", "tls_1_3_cipher_suites"):
            suites = getattr(scan, attempt).result
            for accepted in suites.accepted_cipher_suites if suites else ():
                modern += 1
                if not good(accepted.cipher_suite.name):
                    findings.append(f"{name}: {accepted.cipher_suite.name}")
        if modern == 0:
            findings.append(f"{name}: no modern suite was seen: the look was in vain")
        compression = scan.tls_compression.result
        if compression is not None and compression.supports_compression:
            findings.append(f"{name}: compression")
        for attempt, field in (("heartbleed", "is_vulnerable_to_heartbleed"), ("openssl_ccs_injection", "is_vulnerable_to_ccs_injection")):
            outcome = getattr(scan, attempt).result
            if outcome is not None and getattr(outcome, field):
                findings.append(f"{name}: {attempt}")
    print(f"{looked_at} listeners")
    for finding in findings:
        print(finding)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""What a TLS report has to look like (RFC 8460 section 4.4)."""
import ipaddress
import re


def schema_check(report):
    """RFC 8460 section 4.4: which members there are, of what type, and which must be there."""
    text, count, texts = str, int, [str]
    failure = {"result-type": text, "failed-session-count": count, "sending-mta-ip?": text,
               "receiving-mx-hostname?": text, "receiving-mx-helo?": text, "receiving-ip?": text,
               "additional-information?": text, "failure-reason-code?": text}
    schema = {"organization-name": text, "contact-info": text, "report-id": text,
              "date-range": {"start-datetime": text, "end-datetime": text},
              "policies": [{"policy": {"policy-type": text, "policy-domain": text, "policy-string?": texts,
                                       "mx-host?": texts},
                            "summary": {"total-successful-session-count": count,
                                        "total-failure-session-count": count},
                            "failure-details?": [failure]}]}
    results = {"starttls-not-supported", "certificate-host-mismatch", "certificate-expired",
               "certificate-not-trusted", "validation-failure", "tlsa-invalid", "dnssec-invalid",
               "dane-required", "sts-policy-fetch-error", "sts-policy-invalid", "sts-webpki-invalid"}

    def check(value, schema, place):
        if isinstance(schema, list):
            assert isinstance(value, list) and value, f"{place}: {value}"
            for i, item in enumerate(value):
                check(item, schema[0], f"{place}[{i}]")
        elif isinstance(schema, dict):
            assert isinstance(value, dict), f"{place}: {value}"
            known = {k.rstrip("?"): v for k, v in schema.items()}
            must = {k for k in schema if not k.endswith("?")}
            assert must <= set(value) <= set(known), f"{place}: {sorted(value)}"
            for key, item in value.items():
                check(item, known[key], f"{place}.{key}")
        else:
            assert type(value) is schema and value != "" and value != -1, f"{place}: {value!r}"
    check(report, schema, "report")
    for part in report["policies"]:
        assert part["policy"]["policy-type"] in ("tlsa", "sts", "no-policy-found")
        for item in part.get("failure-details", []):
            assert item["result-type"] in results, item
            for key in ("sending-mta-ip", "receiving-ip"):
                ipaddress.ip_address(item.get(key, "::"))
    for key in ("start-datetime", "end-datetime"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", report["date-range"][key])

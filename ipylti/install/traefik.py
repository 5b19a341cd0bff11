"""Traefik's configuration, made of the ini file: host names, ports and certificates stand in one place."""

import json
from typing import Any

from ipylti.install.plan import Plan

#: Seconds that a request may take to come in whole, and that a connection may be idle.
_READ, _IDLE = "60s", "180s"


def static(plan: Plan) -> str:
    """Return the static configuration, as JSON, which is YAML as well."""
    return json.dumps(_static(plan), indent=2) + "\n"


def environment(plan: Plan) -> dict[str, str]:
    """Return what ``traefik/dynamic.yml`` asks for."""
    host, port = plan.web_address
    told = {
        "IPYLTI_HOST": plan.settings.host,
        "IPYLTI_NOTEBOOK_DOMAIN": plan.settings.notebook_domain,
        "IPYLTI_WEBS": f"http://{f'[{host}]' if ':' in host else host}:{port}",
        "IPYLTI_ENTRYPOINT": "websecure",
        "IPYLTI_RATE": str(plan.rate),
        "IPYLTI_BURST": str(plan.burst),
    }
    if plan.certificate:
        told |= {
            "IPYLTI_CERTIFICATE": str(plan.certificate[0]),
            "IPYLTI_CERTIFICATE_KEY": str(plan.certificate[1]),
        }
    return told


def _static(plan: Plan) -> dict[str, Any]:
    transport = {"respondingTimeouts": {"readTimeout": _READ, "idleTimeout": _IDLE}}
    # A header "X_Forwarded_Host" would be "X-Forwarded-Host" to some programs.
    http = {"aliasHeadersStrategy": "delete"}
    entry_points: dict[str, Any] = {
        "websecure": {
            "address": f":{plan.https_port}",
            "http": {**http, "tls": _tls(plan), "middlewares": ["ipylti-answers@file"]},
            "transport": transport,
        },
        "inside": {"address": f"127.0.0.1:{plan.inside_port}"},
    }
    if plan.http_port:
        redirection = {"entryPoint": {"to": "websecure", "scheme": "https"}}
        entry_points["web"] = {
            "address": f":{plan.http_port}",
            "http": {**http, "redirections": redirection},
            "transport": transport,
        }
    told: dict[str, Any] = {
        "entryPoints": entry_points,
        "ping": {"entryPoint": "inside"},
        "providers": {
            # A launch waits for its route; the default would be two seconds.
            "providersThrottleDuration": "50ms",
            "file": {"filename": str(plan.configuration / "dynamic.yml")},
            "docker": {
                "endpoint": plan.settings.podman_url,
                "exposedByDefault": False,
                "useBindPortIP": True,
                "constraints": f"Label(`io.ipylti.instance`,`{plan.settings.instance}`)",
            },
        },
        "log": {"level": "INFO", "noColor": True},
        # No cookie, ticket or token: of headers only the request's id, and nothing that follows a "?".
        "accessLog": {
            "format": "json",
            "fields": {
                "queryParameters": {"defaultMode": "drop"},
                "headers": {"defaultMode": "drop", "names": {"X-Request-Id": "keep"}},
            },
        },
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
    }
    if plan.acme:
        challenge = {"provider": plan.acme.provider}
        acme: dict[str, Any] = {
            "email": plan.acme.email,
            "storage": str(plan.acme_storage),
            "dnsChallenge": challenge,
        }
        if plan.acme.server:
            acme["caServer"] = plan.acme.server
        told["certificatesResolvers"] = {"ipylti": {"acme": acme}}
    return told


def _tls(plan: Plan) -> dict[str, Any]:
    if not plan.acme:
        return {}
    names = [plan.settings.host, f"*.{plan.settings.notebook_domain}"]
    return {"certResolver": "ipylti", "domains": [{"main": name} for name in names]}

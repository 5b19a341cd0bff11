"""Platform Storage: whose messages its scripts answer."""

import json
from urllib.parse import urlsplit

from .config import Config


def origins(config: Config) -> str:
    """The tool's origins as browsers write them, as a JSON array."""
    urls = (config.tool_url, config.login_url, config.target_link_uri, *config.redirect_uris)
    parts = (urlsplit(url) for url in urls)
    return json.dumps(sorted({f"{each.scheme}://{each.netloc}" for each in parts}))

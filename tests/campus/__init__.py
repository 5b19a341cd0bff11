"""campus: the small, strict learning management system of the demo and the tests.

It plays the platform of LTI 1.3 and knows nothing of ipylti: it imports none of its code, so that it can
judge it from outside. See README.md beside this file.
"""

from .campus import Campus
from .config import Config
from .messages import ags, dl, lti, nrps

__all__ = ["Campus", "Config", "ags", "dl", "lti", "nrps"]

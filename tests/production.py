"""An installation's plan, made of production.ini itself."""

from pathlib import Path

from ipylti.cli.common import environment_file, load, section
from ipylti.install.plan import HOUSE, Plan, make_plan


def production_ini(folder: Path, *changes: tuple[str, str]) -> Path:
    """Write production.ini into a folder, in which the certificate is looked for too, with texts replaced."""
    text = (HOUSE / "production.ini").read_text().replace("/etc/ipylti", str(folder))
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    ini = folder / "production.ini"
    ini.write_text(text)
    return ini


def production_plan(folder: Path, *changes: tuple[str, str]) -> Plan:
    """Return the plan of such a file; the environment has the secret."""
    ini = production_ini(folder, *changes)
    return make_plan(
        load(str(ini)),
        ini,
        environment_file(str(ini)),
        section(str(ini), "install"),
        section(str(ini), "server:main"),
        home=folder / "home",
        podman_config=Path("/state/podman/config"),
    )

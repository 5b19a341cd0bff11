"""What ``ipylti install`` makes of an ini file: units for the user's systemd, Traefik's configuration, and
a list of what only root can do."""

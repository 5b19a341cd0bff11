"""The kill loop: parts are killed at random moments while people work, and nothing may be lost by it.

``bin/kill-loop`` runs it for as long as wanted, ``tests/integration/test_kill_loop.py`` for a short while.
What is random comes from a seed; what the machine does meanwhile does not, so that a seed gives the same
kills at about the same moments, no more.
"""

"""Support for the integration tests: see tap.py and mqttraw.py."""

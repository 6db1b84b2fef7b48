"""The version, defined only here, for both distributions, the service and its commands."""

VERSION = "0.2.0.dev0"

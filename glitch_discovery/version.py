"""The version, in this one place: both distributions, the service and its commands read it here."""

VERSION = "0.2.0.dev0"

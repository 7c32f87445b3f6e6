"""rollbook: contact lists and stop lists for messaging, exactly counted."""

__version__ = "0.2.0"

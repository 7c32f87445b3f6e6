"""rollbook: contact lists and stop lists for messaging, exactly counted."""

__version__ = "0.1.0"

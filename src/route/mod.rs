//! From readings to messages: units, filters, topics and payload formats.

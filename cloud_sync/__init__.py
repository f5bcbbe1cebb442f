"""What gateway and hub share on the way between them: topics, envelope, blobs, session, uplink and downlink."""

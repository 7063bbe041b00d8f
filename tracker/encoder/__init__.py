"""The frozen encoder at work: contract, session, crops, precision."""

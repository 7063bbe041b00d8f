"""The running application: command line, configuration, session, steps, pipeline."""

"""The proved graph for other runtimes: written, proved against it, with a contract beside each."""

"""Parts of the benchmark of the service: what is sent, the process that serves, who sends, and the check."""

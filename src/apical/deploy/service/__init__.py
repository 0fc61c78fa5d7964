"""The service: files come by HTTP, C-STORE or from a PACS, wait in a durable queue, and are answered once."""

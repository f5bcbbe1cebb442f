"""The operator's pages: server-rendered, readable without JavaScript, live with it."""

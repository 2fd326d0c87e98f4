"""The live page: camera, landmarks, the five likeliest signs, and recording.

- index.html, page.js, page.css: what the browser shows; it sends JPEG pictures over a websocket.
- server.py answers, on this machine alone; incoming.py limits what it accepts; session.py decides
  when a sign begins and ends. The landmarks come from process.py.
"""

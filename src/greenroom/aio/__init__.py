"""Coroutines on the scheduler, and asyncio's event loop as a face of it.        layer: aio"""

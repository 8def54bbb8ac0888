import { defineConfig } from 'vitest/config';

/** The tests pack and unpack for real, which takes a busy machine long. */
export default defineConfig({ test: { testTimeout: 60_000 } });

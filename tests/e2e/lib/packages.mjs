// SPDX-License-Identifier: MIT
// Fetches the npm packages that end-to-end tests need, before these begin: a slow registry takes none of their time. packages.mjs [FOLDER]
import { modules } from './openai.mjs'

console.log(modules(process.argv[2]))

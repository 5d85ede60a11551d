/* Those tests that use most of Node, crypto, timers, sockets and streams, in one process: test/process/node-versions.test.ts. */
import '../core/token.test.ts'
import '../core/verifier.test.ts'
import '../plugins/api-keys.test.ts'

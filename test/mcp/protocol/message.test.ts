import { test } from 'tap'
import { messageOutline, readMessages } from '../../../src/mcp/protocol/message.ts'
import { readStrictJson } from '../../../src/mcp/protocol/strict-json.ts'
import { McpRefusal } from '../../../src/mcp/protocol/rpc-error.ts'

const read = (text: string) => readMessages(readStrictJson(Buffer.from(text), messageOutline))

test('a request, a notification and an answer are told apart', async (t) => {
  t.match(read('{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"add"}}'), {
    batch: false, messages: [{ kind: 'request', id: 7, method: 'tools/call', name: 'add' }]
  })
  t.match(read('{"jsonrpc":"2.0","method":"notifications/initialized"}').messages, [{ kind: 'notification', method: 'notifications/initialized' }])
  t.match(read('{"jsonrpc":"2.0","id":"a","result":{}}').messages, [{ kind: 'response', id: 'a' }])
  t.match(read('[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"error":{}}]'), {
    batch: true, messages: [{ kind: 'request', method: 'ping' }, { kind: 'response' }]
  })
})

test('what goes upstream says the method and the tool once, in plain letters', async (t) => {
  const { bytes } = read('{ "jsonrpc" : "2.0", "\\u0069d": 1, "m\\u0065thod": "tools\\/call", "params": {"name": "\\u0061dd", "arguments": {"n": 1.0}} }')
  t.equal(String(bytes), '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":{"n":1.0}}}')
})

const refused: readonly { when: string, text: string, code: number, id?: number }[] = [
  { when: 'it is a string', text: '"tools/call"', code: -32600 },
  { when: 'the version is missing', text: '{"id":1,"method":"ping"}', code: -32600, id: 1 },
  { when: 'the version is a number', text: '{"jsonrpc":2.0,"id":1,"method":"ping"}', code: -32600, id: 1 },
  { when: 'a second method differs in case', text: '{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}', code: -32600, id: 1 },
  { when: 'the only method differs in case', text: '{"jsonrpc":"2.0","id":1,"METHOD":"tools/call"}', code: -32600, id: 1 },
  { when: 'params come twice in another case', text: '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"},"Params":{"name":"b"}}', code: -32600, id: 1 },
  { when: 'params are written with a long s', text: '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"},"param\u017f":{"name":"b"}}', code: -32600, id: 1 },
  { when: 'a tool is named twice in another case', text: '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","Name":"b"}}', code: -32602, id: 1 },
  { when: 'a tool is named twice in wide letters', text: '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","\uff4eame":"b"}}', code: -32602, id: 1 },
  { when: 'a tool is named twice with an underscore', text: '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","_name":"b"}}', code: -32602, id: 1 },
  { when: 'a uri is named twice', text: '{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"a","URI":"b"}}', code: -32602, id: 1 },
  { when: 'a tool has no name', text: '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}', code: -32602, id: 1 },
  { when: 'a tool call has no params', text: '{"jsonrpc":"2.0","id":1,"method":"tools/call"}', code: -32602, id: 1 },
  { when: 'a tool\'s name is an array', text: '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":["a"]}}', code: -32602, id: 1 },
  { when: 'params are an array', text: '{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}', code: -32602, id: 1 },
  { when: 'params have 101 members', text: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'a', ...Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`m${i}`, 1])) } }), code: -32602, id: 1 },
  { when: 'the name of a member of the params is very long', text: `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","${'n'.repeat(1025)}":1}}`, code: -32602, id: 1 },
  { when: 'the method is an array', text: '{"jsonrpc":"2.0","id":1,"method":["ping"]}', code: -32600, id: 1 },
  { when: 'the id is null', text: '{"jsonrpc":"2.0","id":null,"method":"ping"}', code: -32600 },
  { when: 'the id is an object', text: '{"jsonrpc":"2.0","id":{},"method":"ping"}', code: -32600 },
  { when: 'the id is a fraction', text: '{"jsonrpc":"2.0","id":1.5,"method":"ping"}', code: -32600 },
  { when: 'the id has more than 53 bits', text: '{"jsonrpc":"2.0","id":9007199254740993,"method":"ping"}', code: -32600 },
  { when: 'the id is huge', text: `{"jsonrpc":"2.0","id":"${'x'.repeat(1025)}","method":"ping"}`, code: -32600 },
  { when: 'it is a call and an answer', text: '{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}', code: -32600, id: 1 },
  { when: 'it is neither a call nor an answer', text: '{"jsonrpc":"2.0","id":1}', code: -32600, id: 1 },
  { when: 'an answer has no id', text: '{"jsonrpc":"2.0","result":{}}', code: -32600 },
  { when: 'the batch is empty', text: '[]', code: -32600 },
  { when: 'a batch holds a batch', text: '[[{"jsonrpc":"2.0","id":1,"method":"ping"}]]', code: -32600 },
  { when: 'a batch has 101 messages', text: JSON.stringify(Array(101).fill({ jsonrpc: '2.0', method: 'ping' })), code: -32600 },
  { when: 'the version in _meta is no string', text: '{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":1}}}', code: -32602, id: 1 }
]

for (const { when, text, code, id } of refused) {
  test(`a body is refused when ${when}`, async (t) => {
    try {
      read(text)
      t.fail('read')
    } catch (error) {
      t.ok(error instanceof McpRefusal)
      t.match(error, { status: 400, code, id })
    }
  })
}

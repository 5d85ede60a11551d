import neostandard from 'neostandard'

export default [
  { ignores: ['**/dist/**', '**/node_modules/**', '**/.tap/**', 'coverage/**', '**/data/**'] },
  ...neostandard({ ts: true })
]

import type { Command } from 'commander'

export const shells = ['bash', 'zsh', 'fish'] as const
export type Shell = typeof shells[number]

/** The subcommands and options of each command, by the words of the command. */
interface Place {
  readonly path: string
  readonly words: ReadonlyArray<{ readonly word: string, readonly description: string }>
}

/** A completion script for a shell, generated from the commands. */
export function completionFor (shell: Shell, program: Command): string {
  const places = placesOf(program, [])
  return shell === 'fish' ? fish(places) : shell === 'zsh' ? zsh(places) : bash(places)
}

function placesOf (command: Command, path: readonly string[]): Place[] {
  const words = [
    ...command.commands.map((one) => ({ word: one.name(), description: one.description() })),
    ...command.options.map(({ long, description }) => ({ word: long ?? '', description })).filter(({ word }) => word !== ''),
    { word: '--help', description: 'show help' }
  ]
  return [{ path: path.join(' '), words }, ...command.commands.flatMap((one) => placesOf(one, [...path, one.name()]))]
}

// Find the longest command among the words before the cursor; skip options and their values.
const pathLoop = (places: readonly Place[]): string => `local path="" word
  for word in "\${words_before[@]}"; do
    case "\${path:+$path }$word" in
      ${places.filter(({ path }) => path !== '').map(({ path }) => `"${path}"`).join('|')}) path="\${path:+$path }$word" ;;
    esac
  done`

function bash (places: readonly Place[]): string {
  return `# bash completion of navis-keys: eval "$(navis-keys completion bash)"
_navis_keys () {
  local words_before=("\${COMP_WORDS[@]:1:COMP_CWORD-1}")
  ${pathLoop(places)}
  case "$path" in
${places.map(({ path, words }) => `    "${path}") COMPREPLY=($(compgen -W "${words.map(({ word }) => word).join(' ')}" -- "\${COMP_WORDS[COMP_CWORD]}")) ;;`).join('\n')}
  esac
}
complete -o default -F _navis_keys navis-keys
`
}

function zsh (places: readonly Place[]): string {
  return `#compdef navis-keys
# zsh completion of navis-keys: eval "$(navis-keys completion zsh)"
_navis_keys () {
  local -a words_before offered
  words_before=("\${(@)words[2,CURRENT-1]}")
  ${pathLoop(places)}
  case "$path" in
${places.map(({ path, words }) => `    "${path}") offered=(${words.map(({ word, description }) => quoted(`${word}:${description.replaceAll(':', ' -')}`)).join(' ')}) ;;`).join('\n')}
  esac
  _describe navis-keys offered
}
compdef _navis_keys navis-keys
`
}

function fish (places: readonly Place[]): string {
  const lines = places.flatMap(({ path, words }) => words.map(({ word, description }) => {
    const condition = path === '' ? '__fish_use_subcommand' : path.split(' ').map((name) => `__fish_seen_subcommand_from ${name}`).join('; and ')
    const deeper = places.filter((other) => other.path.startsWith(`${path} `)).map((other) => other.path.slice(path.length + 1).split(' ')[0])
    const only = path === '' || deeper.length === 0 ? '' : `; and not __fish_seen_subcommand_from ${[...new Set(deeper)].join(' ')}`
    return `complete -c navis-keys -n '${condition}${only}' ${word.startsWith('--') ? `-l ${word.slice(2)}` : `-f -a ${word}`} -d ${quoted(description)}`
  }))
  return `# fish completion of navis-keys: navis-keys completion fish | source\n${lines.join('\n')}\n`
}

function quoted (text: string): string {
  return `'${text.replaceAll("'", '’')}'`
}

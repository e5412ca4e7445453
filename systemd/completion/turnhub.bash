# bash completion for turnhub(1)
_turnhub() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}
	local commands="serve check credentials token config drain detach version help" flags=""
	case $before in
	--config | --from-turnserver-conf)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		compopt -o filenames 2>/dev/null
		return
		;;
	--ttl)
		mapfile -t COMPREPLY < <(compgen -W "10m 1h 12h 24h 168h 720h 8760h" -- "$word")
		return
		;;
	--user)
		mapfile -t COMPREPLY < <(compgen -u -- "$word")
		return
		;;
	--room)
		return
		;;
	esac
	if ((COMP_CWORD == 1)); then
		mapfile -t COMPREPLY < <(compgen -W "$commands --help --version" -- "$word")
		return
	fi
	case $command in
	serve) flags="--config --help" ;;
	check)
		flags="--config --idle --self --help"
		[[ $word == -* ]] || flags="https:// http:// $flags"
		compopt -o nospace 2>/dev/null
		;;
	credentials) flags="--config --user --ttl --help" ;;
	token) flags="--config --user --room --host --ttl --help" ;;
	config) flags="--config --from-turnserver-conf --help" ;;
	drain) flags="--config --help" ;;
	detach | version) flags="--help" ;;
	help) flags=$commands ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$word")
}
complete -F _turnhub turnhub

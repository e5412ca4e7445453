# bash completion for turnhub(1)
_turnhub() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]} flags
	case $before in
	--config | --from-turnserver-conf)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	esac
	if ((COMP_CWORD == 1)); then
		mapfile -t COMPREPLY < <(compgen -W "serve check credentials token config version" -- "$word")
		return
	fi
	case $command in
	serve | check) flags="--config" ;;
	credentials) flags="--config --user --ttl" ;;
	token) flags="--config --user --room --ttl" ;;
	config) flags="--config --from-turnserver-conf" ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$word")
}
complete -F _turnhub turnhub

# fish completion for turnhub(1)
set -l commands serve check credentials token config drain detach version help
complete -c turnhub -f
complete -c turnhub -n "not __fish_seen_subcommand_from $commands" -a serve -d 'Run (the default command)'
complete -c turnhub -n "not __fish_seen_subcommand_from $commands" -a check -d 'Prove that calls will work'
complete -c turnhub -n "not __fish_seen_subcommand_from $commands" -a credentials -d 'Print an RTCConfiguration with fresh credentials'
complete -c turnhub -n "not __fish_seen_subcommand_from $commands" -a token -d 'Print an access token'
complete -c turnhub -n "not __fish_seen_subcommand_from $commands" -a config -d 'Print the effective configuration, or what is wrong with it'
complete -c turnhub -n "not __fish_seen_subcommand_from $commands" -a drain -d 'Empty this node, then end it'
complete -c turnhub -n "not __fish_seen_subcommand_from $commands" -a detach -d 'Take away what a killed server has left in the kernel'
complete -c turnhub -n "not __fish_seen_subcommand_from $commands" -a version -d 'Print the version'
complete -c turnhub -n "not __fish_seen_subcommand_from $commands" -a help -d 'Explain a command'
complete -c turnhub -n "not __fish_seen_subcommand_from $commands" -l version -d 'Print the version'
complete -c turnhub -l help -d 'Explain it'
complete -c turnhub -n "__fish_seen_subcommand_from serve check credentials token config drain" -l config -r -F -d 'Configuration'
complete -c turnhub -n "__fish_seen_subcommand_from check" -l idle -d 'Also whether a quiet socket stays open'
complete -c turnhub -n "__fish_seen_subcommand_from check" -l self -d 'Only whether the server on this machine answers'
complete -c turnhub -n "__fish_seen_subcommand_from check" -a 'https:// http://' -d 'Address of the pages'
complete -c turnhub -n "__fish_seen_subcommand_from credentials token" -l user -x -a '(__fish_complete_users)' -d 'Whose it is'
complete -c turnhub -n "__fish_seen_subcommand_from credentials token" -l ttl -x -a '10m 1h 12h 24h 168h 720h 8760h' -d 'For how long'
complete -c turnhub -n "__fish_seen_subcommand_from token" -l room -x -d 'A room that it opens; none: every room'
complete -c turnhub -n "__fish_seen_subcommand_from config" -l from-turnserver-conf -r -F -d "coturn's configuration"
complete -c turnhub -n "__fish_seen_subcommand_from help" -a "$commands"

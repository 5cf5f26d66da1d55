#!/bin/sh
# Tells the maintainers what a workflow found that ran by itself, with the end of its log; once, however often it runs.
#   TITLE=... LOG=file tools/tell.sh issue          opens an issue, or renews the one of this title that is open
#   TITLE=... LOG=file tools/tell.sh pull-request   proposes the lock files as they are now; an issue where none has moved,
#                                                   unless PASSED=true says that there is nothing to tell
# It needs gh, and GH_TOKEN with the rights that the workflow names.
set -eu
export TITLE
branch=canary

moved() { ! git diff --quiet -- '*.lock' environment.yml; }
if [ "$1" = pull-request ] && [ "${PASSED:-}" = true ] && ! moved; then
    echo "No pin has moved, and all tests pass."
    exit
fi

text=$(mktemp)
trap 'rm -f "$text"' EXIT
{
    echo "${GITHUB_SERVER_URL:-}/${GITHUB_REPOSITORY:-}/actions/runs/${GITHUB_RUN_ID:-} ends with:"
    echo
    echo '~~~~~~~~text'
    tail -n 100 "$LOG" | tail -c 50000
    echo '~~~~~~~~'
} > "$text"

if [ "$1" = pull-request ] && moved; then
    git switch --quiet --force-create $branch
    git -c user.name='github-actions[bot]' -c user.email='41898282+github-actions[bot]@users.noreply.github.com' \
        commit --quiet --message "$TITLE" -- '*.lock' environment.yml
    gh auth setup-git
    git push --quiet --force origin $branch
    what="pr"
    number=$(gh pr list --head $branch --json number --jq '.[0].number // empty')
    set -- --head $branch
else
    what=issue
    number=$(gh issue list --limit 1000 --json number,title --jq 'map(select(.title == env.TITLE))[0].number // empty')
    set --
fi
if [ -n "$number" ]; then
    gh $what edit "$number" --title "$TITLE" --body-file "$text"
else
    gh $what create "$@" --title "$TITLE" --body-file "$text"
fi

-- Runs in every interpreter before its scripts: how callbacks are run, waited in and left.
local PENDING, finish, set_drop, EXIT = ...
local yield, resume, create = coroutine.yield, coroutine.resume, coroutine.create
local error, xpcall, type, tostring, traceback = error, xpcall, type, tostring, debug.traceback

-- What functions compiled by LuaJIT do cannot be stopped by the budget of time; calls into the server are not compiled
-- anyway. A script may say jit.on() where it computes a lot.
jit.off()

local function explain(problem)
    if problem == EXIT then return EXIT end
    if type(problem) ~= "string" then problem = tostring(problem) end
    return traceback(problem, 2)
end

-- A coroutine of the server: runs one function after another, and yields true and how it ended behind each.
local function serve(run, ...)
    return serve(yield(true, xpcall(run, explain, ...)))
end

local function settle(first, ...)
    if first == PENDING then
        yield(PENDING)
        return finish()
    end
    return first, ...
end

-- A function that may have to wait: suspends the coroutine that calls it.
local function waiting(call)
    return function(...) return settle(call(...)) end
end

-- A coroutine of the script that waits suspends the one that resumed it, and so on up to that of the server.
local function pass(co, ok, first, ...)
    if ok and first == PENDING then
        yield(PENDING)
        return pass(co, resume(co))
    end
    return ok, first, ...
end

function coroutine.resume(co, ...)
    return pass(co, resume(co, ...))
end

local function raise(ok, first, ...)
    if not ok then error(first, 0) end
    return first, ...
end

function coroutine.wrap(run)
    local co = create(run)
    return function(...) return raise(pass(co, resume(co, ...))) end
end

local x = {
    exit = function() error(EXIT, 0) end,
    drop = function()
        set_drop()
        error(EXIT, 0)
    end,
}

return serve, waiting, x
